// Reads a JSON string per line, Mermaid text, and answers each with a line: {"type": ...} or {"error": ...}.
import readline from 'node:readline';
import { JSDOM } from 'jsdom';

const { window } = new JSDOM('<!DOCTYPE html><body></body>');
globalThis.window = window; // before Mermaid is imported
globalThis.document = window.document;
const mermaid = (await import('mermaid')).default;

for await (const line of readline.createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { type: (await mermaid.parse(JSON.parse(line))).diagramType };
  } catch (error) {
    answer = { error: String(error.message) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
