"""The workflow as a graph: built, checked, drawn."""
