-- Double entry. Debit positive, credit negative. PostgreSQL refuses an unbalanced or incomplete journal, a change of what
-- was posted, and a balance that the account's kind forbids.

create type account_kind as enum ('ASSET', 'LIABILITY', 'REVENUE', 'EXPENSE');

create table accounts (
    name            text    not null,
    currency        text    not null check (currency ~ '^[A-Z]{3}$'),
    kind            account_kind not null,
    can_overdraw    boolean not null,
    balance         bigint  not null default 0,
    primary key (name, currency),
    constraint accounts_balance_side check (
        can_overdraw or balance = 0 or (kind = any ('{ASSET,EXPENSE}')) = (balance > 0))
) with (fillfactor = 50);

create table journals (
    tx          xid8        not null default pg_current_xact_id(),
    position    bigint      generated always as identity,
    id          uuid        primary key,
    type        text        not null,
    reference   text        not null unique,
    line_count  int         not null check (line_count >= 2),
    digest      text        not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null default clock_timestamp()
);
create index journals_in_order on journals (tx, position);

create table postings (
    journal_id uuid   not null references journals (id),
    line       int    not null check (line >= 1),
    account    text   not null,
    currency   text   not null,
    amount     bigint not null check (amount <> 0),
    about      uuid   not null,
    primary key (journal_id, line),
    foreign key (account, currency) references accounts (name, currency)
);
create index postings_by_reference on postings (about, account);

create trigger journals_append_only before update or delete or truncate on journals
    for each statement execute function refuse_change();
create trigger postings_append_only before update or delete or truncate on postings
    for each statement execute function refuse_change();

create function refuse_unbalanced() returns trigger language plpgsql as $$
declare
    is_unbalanced boolean;
    is_incomplete boolean;
begin
    select bool_or(c.is_unbalanced), bool_or(c.is_incomplete) into is_unbalanced, is_incomplete
    from (
        select bool_or(a.total <> 0) as is_unbalanced, sum(a.lines) <> j.line_count as is_incomplete
        from (select journal_id, currency, sum(amount) as total, count(*) as lines
              from added group by journal_id, currency) a
        join journals j on j.id = a.journal_id group by j.id, j.line_count) c;
    if is_unbalanced then
        raise exception 'unbalanced journal' using errcode = 'check_violation', constraint = 'postings_balanced';
    end if;
    if is_incomplete then
        raise exception 'incomplete journal' using errcode = 'check_violation', constraint = 'postings_complete';
    end if;
    return null;
end $$;
create trigger postings_balanced after insert on postings referencing new table as added
    for each statement execute function refuse_unbalanced();

create type posting_line as (
    journal_id uuid, line int, account text, currency text, amount bigint, about uuid, kind account_kind, can_overdraw boolean
);

-- Locks accounts in the order of their names. Returns how many of them there are.
create function lock_accounts(names text[], currencies text[]) returns int language plpgsql as $$
declare
    found int;
begin
    perform from accounts a
    where a.name = any (names) and (a.name, a.currency) in (select * from unnest(names, currencies))
    order by a.name, a.currency for update;
    get diagnostics found = row_count;
    return found;
end $$;

create function write_journals(journal_rows jsonb, posting_rows jsonb, bad int[]) returns void language plpgsql as $$
declare
    names      text[];
    currencies text[];
    amounts    bigint[];
begin
    insert into journals (id, type, reference, line_count, digest, occurred_at)
    select (x.r).id, (x.r).type, (x.r).reference, (x.r).line_count, (x.r).digest, (x.r).occurred_at
    from jsonb_to_recordset(journal_rows) as x(c int, r journals) where x.c <> all (bad);

    -- One update for each account, however often it was hit.
    select array_agg(m.account), array_agg(m.currency), array_agg(m.amount) into names, currencies, amounts
    from (select (x.r).account, (x.r).currency, sum((x.r).amount)::bigint as amount
          from jsonb_to_recordset(posting_rows) as x(c int, r posting_line)
          where x.c <> all (bad) group by 1, 2) m;
    if lock_accounts(names, currencies) < cardinality(names) then
        insert into accounts (name, currency, kind, can_overdraw)
        select distinct (x.r).account, (x.r).currency, (x.r).kind, (x.r).can_overdraw
        from jsonb_to_recordset(posting_rows) as x(c int, r posting_line)
        where x.c <> all (bad) order by 1, 2
        on conflict (name, currency) do nothing;
        perform lock_accounts(names, currencies);
    end if;
    update accounts a set balance = a.balance + m.amount
    from unnest(names, currencies, amounts) as m(name, currency, amount)
    where a.name = any (names) and a.name = m.name and a.currency = m.currency;

    insert into postings (journal_id, line, account, currency, amount, about)
    select (x.r).journal_id, (x.r).line, (x.r).account, (x.r).currency, (x.r).amount, (x.r).about
    from jsonb_to_recordset(posting_rows) as x(c int, r posting_line) where x.c <> all (bad);
end $$;
