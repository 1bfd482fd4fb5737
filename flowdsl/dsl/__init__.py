"""What users write: workflows, their steps and the typed view of a run."""
