-- Run once by the image of PostgreSQL, as its superuser, when the data directory is new. The migrations make the other
-- roles, without LOGIN; who wants to log in as one of them gives it a password: ALTER ROLE … LOGIN PASSWORD ….
\getenv owner_password COLLECTOR_OWNER_PASSWORD
\getenv worker_password COLLECTOR_WORKER_PASSWORD
SET log_min_error_statement = panic; -- a failed statement would go to the log with the password in it
CREATE ROLE collector_owner LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS PASSWORD :'owner_password';
CREATE ROLE collector_worker LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'worker_password';
-- Since PostgreSQL 16, CREATEROLE reaches only the roles that one made or administers.
GRANT collector_worker TO collector_owner WITH ADMIN TRUE, INHERIT FALSE, SET TRUE;
CREATE DATABASE collector OWNER collector_owner;
