-- name: users.taken
-- for: whether a name and whether an address is taken
-- index: users_username, users_email
-- sample: SELECT username, coalesce(email, 'a-new@address.example') FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* users.taken */ EXISTS (SELECT FROM users WHERE username = $1) AS "username!",
       EXISTS (SELECT FROM users WHERE email = $2) AS "email!"
