"""Whether a provider has sent what came: its signature, checked in constant time, before anything else is done.

Pure, but for PayPal's certificates (`certificates`) and the file of secrets (`secrets`). A scheme answers why it does
not trust what came, nothing where it does, and raises nothing, whatever the headers hold.
"""
