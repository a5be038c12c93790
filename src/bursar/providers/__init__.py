"""Payment providers, one adapter each behind `port`. Only the composition root imports adapters."""
