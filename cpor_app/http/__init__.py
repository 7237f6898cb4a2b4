"""How every HTTP operation is served, with the tables of operations and of status codes."""
