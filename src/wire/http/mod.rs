//! HTTP/1.1 on httparse: head, body, server loop, client, pool.
