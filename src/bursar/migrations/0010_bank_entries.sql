-- The bank rails (providers/bank): what is to be sent to banks in files, what they were sent in, and what came back.
-- Written by providers/bank/store.py in short transactions of its own. Account numbers lie in the vault alone.

create type bank_rail as enum ('ACH', 'SEPA');
create type bank_entry_kind as enum ('AUTHORIZATION', 'DEBIT', 'REFUND', 'PAYOUT', 'MICRO_DEPOSIT', 'VOID');
create type bank_entry_status as enum (
    'AUTHORIZED', 'QUEUED', 'SENT', 'SETTLED', 'RETURNED', 'REFUSED', 'CANCELLED');
create type bank_file_status as enum ('WRITING', 'PREPARED', 'WRITTEN');

-- A file that goes out: at most one for each window, more only where one may not hold all. WRITING: its entries are
-- chosen, its text is not whole. PREPARED: the text lies on the disk beside its place, and digest tells it. WRITTEN: the
-- bank can take it.
create table bank_files (
    id           uuid        primary key,
    rail         bank_rail   not null,
    name         text        not null unique,
    window_on    date        not null,
    part         int         not null check (part > 0),
    modifier     text        not null check (modifier ~ '^[A-Z0-9]$'),
    status       bank_file_status not null,
    effective_on date        not null,
    entry_count  int         not null check (entry_count > 0),
    total_debit  bigint      not null check (total_debit >= 0),
    total_credit bigint      not null check (total_credit >= 0),
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    digest       text,
    written_at   timestamptz,
    constraint bank_files_one_a_window unique (rail, window_on, part),
    constraint bank_files_moves_money check (total_debit + total_credit > 0),
    constraint bank_files_prepared check ((status = 'WRITING') = (digest is null)),
    constraint bank_files_written check ((status = 'WRITTEN') = (written_at is not null))
);
create index bank_files_open on bank_files (rail, id) where status <> 'WRITTEN';

-- Trace numbers have seven digits of their own and begin anew after that; ten million entries of one effective date are
-- more than files of it can hold.
create sequence bank_trace_numbers minvalue 1 maxvalue 9999999 cycle;

-- One thing that was asked for under one key. AUTHORIZATION and VOID stay with us; the others go out in files.
-- reference: of the payment, whose first entry has the key in it. REFUSED without decline_code: the key is dead.
create table bank_entries (
    id              uuid        primary key,
    rail            bank_rail   not null,
    key             text        not null unique,
    kind            bank_entry_kind not null,
    status          bank_entry_status not null,
    reference       text        not null,
    amount          bigint      not null,
    currency        text        not null check (currency ~ '^[A-Z]{3}$'),
    instrument_id   text        not null,
    is_final        boolean     not null,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    vault_record_id uuid,
    sec_code        text        check (sec_code in ('CCD', 'PPD', 'WEB')),
    description     text        check (length(description) between 1 and 10),
    statement       text,
    file_id         uuid        references bank_files (id),
    trace_number    text        check (trace_number ~ '^[0-9]{15}$'),
    effective_on    date,
    settles_on      date,
    return_code     text,
    decline_code    text,
    reason          text,
    settled_at      timestamptz,
    returned_at     timestamptz,
    constraint bank_entries_amount check (
        status = 'REFUSED' or case kind when 'VOID' then amount = 0 else amount between 1 and 99999999999 end),
    constraint bank_entries_currency check (
        status = 'REFUSED' or currency = case rail when 'ACH' then 'USD' else 'EUR' end),
    constraint bank_entries_sepa_pays_out check (rail = 'ACH' or kind = 'PAYOUT'),
    constraint bank_entries_status_of_kind check (case kind
        when 'AUTHORIZATION' then status = any ('{AUTHORIZED,CANCELLED,REFUSED}')
        when 'VOID' then status = any ('{SETTLED,REFUSED}')
        else status <> 'AUTHORIZED' end),
    constraint bank_entries_sealed check (
        kind = 'VOID' or status = any ('{REFUSED,CANCELLED}') or vault_record_id is not null),
    constraint bank_entries_in_file check (
        (file_id is not null) = (kind <> 'VOID' and status = any ('{SENT,SETTLED,RETURNED}'))),
    constraint bank_entries_sent check (
        num_nonnulls(file_id, effective_on, settles_on) in (0, 3) and (effective_on is null or settles_on >= effective_on)),
    constraint bank_entries_traced check ((trace_number is not null) = (rail = 'ACH' and file_id is not null)),
    constraint bank_entries_described check (
        rail <> 'ACH' or status = 'REFUSED' or kind = any ('{AUTHORIZATION,VOID}')
        or num_nonnulls(sec_code, description) = 2),
    constraint bank_entries_settled check (status <> 'SETTLED' or settled_at is not null),
    constraint bank_entries_returned check (
        (status = 'RETURNED') = (return_code is not null) and (status = 'RETURNED') = (returned_at is not null)),
    constraint bank_entries_declined check (
        case status when 'RETURNED' then decline_code is not null when 'REFUSED' then true else decline_code is null end)
) with (fillfactor = 80);
create unique index bank_entries_trace on bank_entries (trace_number, effective_on) where trace_number is not null;
create index bank_entries_by_reference on bank_entries (reference, id);
create index bank_entries_by_instrument on bank_entries (instrument_id, id);
create index bank_entries_by_vault_record on bank_entries (vault_record_id) where vault_record_id is not null;
create index bank_entries_by_file on bank_entries (file_id, id) where file_id is not null;
create index bank_entries_queued on bank_entries (rail, id) where status = 'QUEUED';
create index bank_entries_sent_by_day on bank_entries (rail, settles_on) where status = 'SENT';

-- A file that came in: it counts once, whatever it is called and however often it comes.
create table bank_files_read (
    digest  text        primary key,
    rail    bank_rail   not null,
    name    text        not null,
    notices int         not null check (notices >= 0),
    read_at timestamptz not null
);

-- What a bank said of an entry; entry_id is null where no entry of ours is meant, or none to which it can apply.
-- untold: somebody above has yet to hear of it. correction_record_id: the corrected account, in the vault until told.
create table bank_notices (
    id                   uuid        primary key,
    rail                 bank_rail   not null,
    file_digest          text        not null references bank_files_read (digest),
    about                text        not null,
    code                 text        not null,
    amount               bigint,
    meaning              text        not null,
    is_late              boolean     not null,
    is_untold            boolean     not null,
    received_at          timestamptz not null,
    entry_id             uuid        references bank_entries (id),
    decline_code         text,
    correction_record_id uuid,
    constraint bank_notices_told_of_an_entry check (not is_untold or entry_id is not null),
    constraint bank_notices_late_of_an_entry check (not is_late or entry_id is not null),
    constraint bank_notices_correction_until_told check (correction_record_id is null or is_untold)
);
create index bank_notices_untold on bank_notices (rail, id) where is_untold;
create index bank_notices_by_entry on bank_notices (entry_id) where entry_id is not null;
