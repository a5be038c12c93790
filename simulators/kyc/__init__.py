"""The KYC service: a stand-in for whatever speaks openapi.json. Test subjects are told apart by how their ids end."""

from simulators.kyc.service import KycService, provider

__all__ = ["KycService", "provider"]
