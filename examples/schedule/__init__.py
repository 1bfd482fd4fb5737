"""Your own tables and flowdsl's, in one transaction."""
