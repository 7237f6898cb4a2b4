"""Writes mails to customers and partners, and hands them over to a mail system."""
