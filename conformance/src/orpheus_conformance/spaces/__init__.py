"""Problem spaces, one file per family of operators. Every module here is imported when a space is first looked for."""
