"""Refunds: asked for, approved where the policy wants people, sent through the provider; each is also a transaction.

Promises: what is asked for is reserved at once, in the payment and in every vendor's share, so that a payment is never
given back twice; nobody approves what he asked for; an approval binds to the content that was approved; the provider is
asked outside any transaction, in three steps, and what it says is never contradicted by hand. Status changes only
through model.MACHINE.
"""
