"""What all simulators share: `provider` is what one supplies, `server` what it gets for that."""
