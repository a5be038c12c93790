"""The sandbox: a provider like the others, with documented test methods, and books of its own.

Promises: each test method has one fixed outcome; what was asked and what was done is kept in books that every process
serving payments shares and nobody else reads, so that the ledger can be held against what the provider believes.
"""
