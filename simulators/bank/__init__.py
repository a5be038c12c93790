"""A bank that takes files: NACHA (ACH) and pain.001 (SEPA), over HTTP or from a pair of directories, and answers days
later with returns, notifications of change and status reports. Test accounts are told apart by their last four digits.

It reads files by its own means, column by column, and knows no word of ours: what it takes, a bank might.
"""

from simulators.bank.service import Bank, provider

__all__ = ["Bank", "provider"]
