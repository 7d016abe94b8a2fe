"""What the commands write for authors of topics: `topics` writes a topic with its test, `repository` a repository."""
