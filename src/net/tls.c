// SPDX-License-Identifier: Apache-2.0
// TLS: see tls.h. The handshake happens inside the first reads; small parts are joined before they are encrypted, since each
// SSL_write makes a record of its own.
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/mem.h"

enum { RECORD = 16 * 1024 }; // the most that a TLS record holds

struct tls_server {
    SSL_CTX *context;
};

// Wire form of the one protocol that is spoken.
static const unsigned char alpn_h2[] = {2, 'h', '2'};

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *in, unsigned in_size, void *user)
{
    (void)ssl, (void)user;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_size, alpn_h2, sizeof(alpn_h2), in, in_size) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static struct nrd_status *failed(const char *what, const char *path)
{
    char reason[256];
    ERR_error_string_n(ERR_get_error(), reason, sizeof(reason));
    ERR_clear_error();
    return status_new(NRD_INVALID_ARG, "failed to use %s '%s': %s", what, path == NULL ? "" : path,
                      reason);
}

static bool given(const char *path)
{
    return path != NULL && path[0] != '\0';
}

static struct nrd_status *configure(SSL_CTX *context, const struct tls_options *o)
{
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (!given(o->certificate) ||
        SSL_CTX_use_certificate_chain_file(context, o->certificate) != 1) {
        return failed("the server certificate", o->certificate);
    }
    if (!given(o->key) || SSL_CTX_use_PrivateKey_file(context, o->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        return failed("the server key", o->key);
    }
    if (given(o->root) && SSL_CTX_load_verify_locations(context, o->root, NULL) != 1) {
        return failed("the root certificate", o->root);
    }
    if (o->mutual) {
        if (!given(o->root)) {
            return status_new(NRD_INVALID_ARG,
                              "mutual authentication needs a root certificate to check clients by");
        }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        static const unsigned char id[] = "nereid";
        (void)SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1);
    }
    return NULL;
}

struct nrd_status *tls_server_create(const struct tls_options *options, struct tls_server **out)
{
    struct tls_server *server = mem_calloc(1, sizeof(*server));
    if (server == NULL) {
        return status_no_memory();
    }
    server->context = SSL_CTX_new(TLS_server_method());
    struct nrd_status *status =
        server->context == NULL ? status_no_memory() : configure(server->context, options);
    if (status != NULL) {
        tls_server_destroy(server);
        return status;
    }
    *out = server;
    return NULL;
}

void tls_server_destroy(struct tls_server *server)
{
    if (server != NULL) {
        SSL_CTX_free(server->context);
        mem_free(server);
    }
}

void *tls_session_create(struct tls_server *server, int fd)
{
    SSL *ssl = SSL_new(server->context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}

// ---- clients --------------------------------------------------------------------------------------------------------

struct tls_client {
    SSL_CTX *context;
    bool http2;
};

static struct nrd_status *configure_client(SSL_CTX *context, const struct tls_client_options *o)
{
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    if (given(o->root) ? SSL_CTX_load_verify_locations(context, o->root, NULL) != 1
                       : SSL_CTX_set_default_verify_paths(context) != 1) {
        return failed("the root certificate", given(o->root) ? o->root : "of the system");
    }
    if (given(o->certificate) && SSL_CTX_use_certificate_chain_file(context, o->certificate) != 1) {
        return failed("the client certificate", o->certificate);
    }
    const char *key = given(o->key) ? o->key : o->certificate;
    if (given(key) && (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
                       SSL_CTX_check_private_key(context) != 1)) {
        return failed("the client key", key);
    }
    SSL_CTX_set_verify(context, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    static const unsigned char http1[] = "\x08http/1.1";
    const unsigned char *offer = o->http2 ? alpn_h2 : http1;
    unsigned size = o->http2 ? sizeof(alpn_h2) : sizeof(http1) - 1;
    return SSL_CTX_set_alpn_protos(context, offer, size) == 0 ? NULL : status_no_memory();
}

struct nrd_status *tls_client_create(const struct tls_client_options *options,
                                     struct tls_client **out)
{
    struct tls_client *client = mem_calloc(1, sizeof(*client));
    if (client == NULL) {
        return status_no_memory();
    }
    client->context = SSL_CTX_new(TLS_client_method());
    client->http2 = options->http2;
    struct nrd_status *status =
        client->context == NULL ? status_no_memory() : configure_client(client->context, options);
    if (status != NULL) {
        tls_client_destroy(client);
        return status;
    }
    *out = client;
    return NULL;
}

void tls_client_destroy(struct tls_client *client)
{
    if (client != NULL) {
        SSL_CTX_free(client->context);
        mem_free(client);
    }
}

// The certificate must have this name; a name (not an address) is also told to the server (RFC 6066 section 3).
static bool expect_name(SSL *ssl, const char *name)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    }
    // SSL_set_tlsext_host_name() spelled out: the macro casts const away.
    return SSL_set1_host(ssl, name) == 1 &&
           SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                    (void *)(uintptr_t)name) == 1;
}

void *tls_client_session_create(struct tls_client *client, int fd, const char *name, char *reason)
{
    SSL *ssl = SSL_new(client->context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || !expect_name(ssl, name)) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    reason[0] = '\0';
    (void)SSL_set_app_data(ssl, reason);
    SSL_set_connect_state(ssl);
    return ssl;
}

// ---- the transport --------------------------------------------------------------------------------------------------

// Tells a client's user what broke its session: the certificate's fault, if it is that, or what OpenSSL says.
static void note_reason(SSL *ssl)
{
    char *reason = SSL_get_app_data(ssl);
    unsigned long error = ERR_peek_error();
    if (reason == NULL || error == 0 || reason[0] != '\0') {
        return;
    }
    long verified = SSL_get_verify_result(ssl);
    if (verified != X509_V_OK && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0) {
        snprintf(reason, TLS_REASON, "TLS: the server's certificate is refused: %s",
                 X509_verify_cert_error_string(verified));
        return;
    }
    const char *text = ERR_reason_error_string(error);
    snprintf(reason, TLS_REASON, "TLS: %s", text != NULL ? text : "the session broke");
}

static ssize_t stopped(SSL *ssl, int result)
{
    int why = SSL_get_error(ssl, result);
    if (why == SSL_ERROR_SSL) {
        note_reason(ssl);
    }
    ERR_clear_error();
    switch (why) {
    case SSL_ERROR_WANT_READ:
        return STREAM_IO_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return STREAM_IO_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return STREAM_IO_EOF;
    default:
        return STREAM_IO_BROKEN;
    }
}

static ssize_t tls_read(struct stream *stream, void *ptr, size_t size)
{
    SSL *ssl = stream->transport_data;
    ERR_clear_error();
    int n = SSL_read(ssl, ptr, size < INT32_MAX ? (int)size : INT32_MAX);
    return n > 0 ? n : stopped(ssl, n);
}

// Joins what fits into a record; a part that fills one goes as it is.
static struct iovec join(const struct iovec *parts, int count, size_t skip, char *record)
{
    size_t lead = parts[0].iov_len - skip;
    if (count == 1 || lead >= RECORD) {
        return (struct iovec){(char *)parts[0].iov_base + skip, lead < RECORD ? lead : RECORD};
    }
    size_t filled = 0;
    for (int i = 0; i < count && filled < RECORD; i++) {
        size_t n = parts[i].iov_len - skip;
        n = n < RECORD - filled ? n : RECORD - filled;
        memcpy(record + filled, (const char *)parts[i].iov_base + skip, n);
        filled += n;
        skip = 0;
    }
    return (struct iovec){record, filled};
}

static ssize_t tls_write(struct stream *stream, const struct iovec *parts, int count)
{
    SSL *ssl = stream->transport_data;
    char record[RECORD];
    size_t moved = 0;
    size_t skip = 0;
    while (count > 0) {
        struct iovec run = join(parts, count, skip, record);
        ERR_clear_error();
        int n = SSL_write(ssl, run.iov_base, (int)run.iov_len);
        if (n <= 0) {
            ssize_t why = stopped(ssl, n);
            why = why == STREAM_IO_EOF ? STREAM_IO_BROKEN : why;
            return moved > 0 && why != STREAM_IO_BROKEN ? (ssize_t)moved : why;
        }
        moved += (size_t)n;
        for (skip += (size_t)n; count > 0 && skip >= parts->iov_len; parts++, count--) {
            skip -= parts->iov_len;
        }
    }
    return (ssize_t)moved;
}

static void tls_finish(struct stream *stream)
{
    (void)SSL_shutdown(stream->transport_data);
    ERR_clear_error();
    (void)shutdown(stream->fd, SHUT_WR);
}

static void tls_close(struct stream *stream)
{
    SSL_free(stream->transport_data);
    stream->transport_data = NULL;
}

const struct stream_transport stream_transport_tls = {
    .read = tls_read,
    .write = tls_write,
    .read_until_want = true,
    .finish = tls_finish,
    .close = tls_close,
};
