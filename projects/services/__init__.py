"""What a person may do with a project and its people: one function for each, in the module of its subject."""
