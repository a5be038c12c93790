"""10,000 active commission rules by SQL, as a market has them, and what is asked about them."""

import asyncio
import random
from pathlib import Path

from tests.bench import machine

RULES = 10_000
VENDORS = 3_500
CATEGORIES = 250
ASKED = 20_000
PATH = "/api/v1/commission-rules"

FILL = f"""
with numbers as (
    select n, case when n <= 10 then 'all' when n <= 510 then 'category' when n <= 7500 then 'vendor' else 'both'
              end as scope
    from generate_series(1, {RULES}) n
), terms as (
    select n, n % 8 as kind, n % 5 = 0 as is_promotion,
        case when scope in ('vendor', 'both') then 'vendor-' || n % {VENDORS} end as vendor_id,
        case when scope in ('category', 'both') then 'category-' || n % {CATEGORIES} end as category_id
    from numbers
)
insert into commission_rules (id, version, name, status, commission_type, priority, effective_from, effective_to,
    authors, changed_by, change_reason, metadata, created_at, updated_at, vendor_id, category_id, transaction_type,
    currency, rate, fixed_amount, tiers, tier_mode, volume_window_days, min_commission, min_amount, max_amount,
    experiment)
select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 1, 'rule ' || n, 'ACTIVE',
    case kind when 0 then 'TIERED' when 1 then 'HYBRID' when 2 then 'FIXED' else 'PERCENTAGE' end::commission_type,
    case when is_promotion then 10 else 0 end, now() - interval '1 day' * (n % 300),
    case when is_promotion then now() + interval '1 day' * (1 + n % 60) end,
    '["ann"]', 'ben', 'activated', '{{}}', now(), now(),
    vendor_id, category_id, case when n % 3 = 0 then 'CHARGE' end,
    case when kind <= 3 then case when n % 7 = 0 then 'USD' else 'EUR' end end,
    case when kind not in (0, 2) then round((1 + n % 30)::numeric / 100, 2) end, case when kind in (1, 2) then 25 end,
    case when kind = 0 then '[{{"rate": "0.12", "upTo": 50000}}, {{"rate": "0.08", "upTo": 500000}},
                              {{"rate": "0.05", "upTo": null}}]'::jsonb end,
    case when kind = 0 then 'MARGINAL'::commission_tier_mode end, case when kind = 0 then 30 end,
    case when kind = 1 then 10 end, case when kind = 3 then 100 end, case when kind = 3 then 5000 + n end,
    case when n % 50 = 0 then jsonb_build_object(
        'name', 'experiment', 'variant', 'variant-' || n % 3, 'weight', 1, 'unit', 'VENDOR') end
from terms
"""


def fill(url: str) -> None:
    """Put the rules in."""
    asyncio.run(machine.run_sql(url, FILL, "analyze commission_rules"))


def write_paths(directory: Path) -> tuple[Path, Path, Path]:
    """Write three files of paths: calculations, the same without explanation, and rules by their ids."""
    draw = random.Random(1)
    calculations = [
        f"{PATH}/calculate?vendorId=vendor-{draw.randrange(VENDORS)}&categoryId=category-{draw.randrange(CATEGORIES)}"
        f"&amount={draw.randint(100, 100_000)}&currency=EUR&volume={draw.randrange(1_000_000)}"
        for _ in range(ASKED)
    ]
    ids = [f"{PATH}/00000000-0000-7000-8000-{number:012x}" for number in range(1, RULES + 1)]
    amounts = [f"{path}&limit=0" for path in calculations]
    files = directory / "calculations", directory / "amounts", directory / "rules"
    for path, lines in zip(files, (calculations, amounts, ids), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return files
