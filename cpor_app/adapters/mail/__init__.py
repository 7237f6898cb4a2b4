"""Mails to customers and partners: written, and handed over to a mail system."""
