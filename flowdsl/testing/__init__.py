"""What tests of workflows and of adapters need."""
