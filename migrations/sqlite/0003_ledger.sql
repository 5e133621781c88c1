-- What the blob store counts: bytes, contents, records. The first row is also its lock.
INSERT INTO "blob_usage" ("id", "used") VALUES (1, 0), (2, 0), (3, 0) ON CONFLICT DO NOTHING;
