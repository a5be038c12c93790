-- A provider tells by itself what became of a verification: the method that waits for it is found by it.

create index payment_methods_verification on payment_methods ((verification ->> 'reference'))
    where verification is not null;
