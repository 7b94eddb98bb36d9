-- LoRaMac-node keeps NbFragReceived of the last fragmentation session until it hears a fragment of the next. So a
-- deployment begins with what each device has told last, if that was in one which it did not complete.

alter table deployment_device add column nb_frag_before integer;
create index deployment_log_status on deployment_log (dev_eui, id) where command = 'FragSessionStatusAns';
