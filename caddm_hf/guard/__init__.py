"""Work in processes that may die."""
