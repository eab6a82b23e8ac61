// SPDX-License-Identifier: Apache-2.0
// TLS under a stream, server side: a transport over OpenSSL that speaks HTTP/2 alone (ALPN "h2").
//
// TLS 1.2 at least. Start at tls_server_create(), then give tls_session_create()'s result to a stream with stream_transport_tls.
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

#endif
