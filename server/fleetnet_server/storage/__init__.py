"""All SQL of the collector and nothing else. What enters and leaves are values of records.py."""
