"""What the operators' desk keeps besides tasks: statistics, groups of failures, views, the audit, bulk operations."""
