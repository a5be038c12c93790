"""Pure building blocks: no database, no network, no clock read behind the caller's back."""
