"""Serves every HTTP operation. The table of operations and the table of status codes are here."""
