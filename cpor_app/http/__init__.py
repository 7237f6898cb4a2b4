"""The one mechanism behind every HTTP operation, and the tables of routes and statuses."""
