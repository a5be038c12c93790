"""The domains, lowest first; each calls the services of lower ones only, and hears of higher ones by events."""
