"""The store on MongoDB: tasks, access, and what the dashboard keeps."""
