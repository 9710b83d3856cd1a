create table paths (
  id integer primary key not null,
  base_name text not null unique,
  nar_hash blob not null,
  nar_size integer not null,
  registration_time integer not null,
  deriver text,
  content_address text,
  signatures text not null,
  ultimate integer not null
) strict;
create index paths_by_deriver on paths (deriver) where deriver is not null;
create table refs (
  referrer integer not null references paths (id) on delete cascade,
  reference integer not null references paths (id) on delete restrict,
  primary key (referrer, reference)
) strict, without rowid;
create index refs_by_reference on refs (reference, referrer);
