// SPDX-License-Identifier: Apache-2.0
// TLS under a stream: a transport over OpenSSL. Servers speak HTTP/2 alone (ALPN "h2"), clients either HTTP.
//
// TLS 1.2 at least. Start at tls_server_create() or tls_client_create(), then give a session to a stream with stream_transport_tls.
#ifndef NEREID_NET_TLS_H
#define NEREID_NET_TLS_H

#include "net/stream.h"

struct tls_server;
struct tls_options {
    const char *certificate; // file in PEM form: the server's chain
    const char *key;         // file in PEM form
    const char *root; // file in PEM form with the authorities that sign clients; NULL or "": none
    bool mutual;      // clients must show a certificate that `root` signed
};
// Errors: NRD_INVALID_ARG with the file's name and OpenSSL's reason. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *tls_server_create(const struct tls_options *options,
                                                  struct tls_server **out);
void tls_server_destroy(struct tls_server *server); // sessions may live on; NULL is fine
// A session over the connected `fd`, which stays the caller's: the transport_data of a stream. NULL: no memory. Thread: any.
void *tls_session_create(struct tls_server *server, int fd);
extern const struct stream_transport stream_transport_tls;

struct tls_client;
struct tls_client_options {
    const char *certificate; // as above; NULL or "": the client shows none
    const char *key;
    const char *root; // authorities that sign servers; NULL or "": the system's
    bool insecure;    // the server's certificate is not checked
    bool http2;       // offers "h2", else "http/1.1"
};
// Errors as above. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *tls_client_create(const struct tls_client_options *options,
                                                  struct tls_client **out);
void tls_client_destroy(struct tls_client *client); // sessions may live on; NULL is fine
enum { TLS_REASON = 160 };
// A session for a server whose certificate must have `name` (a host or an address). What breaks it is written to `reason`
// (TLS_REASON bytes, borrowed for the session's life), which is "" until then. Else as tls_session_create().
void *tls_client_session_create(struct tls_client *client, int fd, const char *name, char *reason);

#endif
