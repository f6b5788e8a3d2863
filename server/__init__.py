"""The HTTP edge: settings, authentication, schemas, routes, streaming, errors. Nothing here searches or judges.

`app` puts the server together, `routes/` holds one thin file per group of addresses, `chat` is one chat request
on its way, `errors` is the one boundary where exceptions become answers, `settings` the one reader of the environment.
"""
