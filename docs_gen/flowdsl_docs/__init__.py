"""Documentation of workflows, made from their declarations: a document model, and what is made of it. Nothing is run."""
