-- breaking: no
-- concurrently: no

-- The statement that takes a role passes the gate too, and its names are looked up before the role is taken: by the login
-- of the process, which has no right of its own. What is in the schema stays as closed as it was.
GRANT USAGE ON SCHEMA moves TO PUBLIC;
