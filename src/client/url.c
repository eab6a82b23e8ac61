// SPDX-License-Identifier: Apache-2.0
// URLs: scheme "://" host [":" port] [path]; the scheme may be left out.
#include "client/url.h"

static const struct {
    const char *scheme;
    uint16_t port;
    bool grpc;
    bool tls;
} schemes[] = {
    {"http", 8000, false, false},
    {"https", 8000, false, true},
    {"grpc", 8001, true, false},
    {"grpcs", 8001, true, true},
};

static struct nrd_status *wrong(const char *text, const char *what)
{
    return status_new(NRD_INVALID_ARG,
                      "server URL '%s': %s (expected http://HOST:PORT, https://..., grpc://..., "
                      "grpcs://... or HOST:PORT)",
                      text, what);
}

// A host may hold what goes into a Host header and a resolver as it is.
static bool host_is_plain(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        if (c <= ' ' || c == 0x7f || strchr("/?#@[]\\\"<>^`{|}", c) != NULL) {
            return false;
        }
    }
    return host.len > 0;
}

static bool path_is_plain(struct slice path)
{
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        if (c <= ' ' || c == 0x7f || c == '?' || c == '#') {
            return false;
        }
    }
    return true;
}

// Splits "host", "host:port", "[v6]" and "[v6]:port". False: malformed.
static bool split_authority(struct slice authority, struct slice *host, struct slice *port)
{
    *port = (struct slice){NULL, 0};
    if (authority.len > 0 && authority.ptr[0] == '[') {
        const char *end = memchr(authority.ptr, ']', authority.len);
        if (end == NULL) {
            return false;
        }
        *host = slice_make(authority.ptr + 1, (size_t)(end - authority.ptr) - 1);
        struct slice rest = slice_make(end + 1, authority.len - host->len - 2);
        if (rest.len == 0) {
            return true;
        }
        *port = slice_make(rest.ptr + 1, rest.len - 1);
        return rest.ptr[0] == ':' && port->len > 0;
    }
    const char *colon = memchr(authority.ptr, ':', authority.len);
    if (colon == NULL) {
        *host = authority;
        return true;
    }
    *host = slice_make(authority.ptr, (size_t)(colon - authority.ptr));
    *port = slice_make(colon + 1, authority.len - host->len - 1);
    return port->len > 0 && memchr(port->ptr, ':', port->len) == NULL;
}

static struct nrd_status *parse(const char *text, struct client_url *url)
{
    struct slice rest = slice_of(text);
    const char *mark = strstr(text, "://");
    unsigned scheme = 0;
    if (mark != NULL) {
        struct slice name = slice_make(text, (size_t)(mark - text));
        while (scheme < sizeof(schemes) / sizeof(schemes[0]) &&
               !slice_equal_nocase(name, slice_of(schemes[scheme].scheme))) {
            scheme++;
        }
        if (scheme == sizeof(schemes) / sizeof(schemes[0])) {
            return wrong(text, "unknown scheme");
        }
        rest = slice_of(mark + 3);
    }
    url->grpc = schemes[scheme].grpc;
    url->tls = schemes[scheme].tls;
    url->port = schemes[scheme].port;
    const char *slash = memchr(rest.ptr, '/', rest.len);
    struct slice path = {NULL, 0};
    if (slash != NULL) {
        path = slice_make(slash, rest.len - (size_t)(slash - rest.ptr));
        rest.len -= path.len;
        while (path.len > 0 && path.ptr[path.len - 1] == '/') {
            path.len--;
        }
    }
    struct slice host;
    struct slice port;
    if (!split_authority(rest, &host, &port) || !host_is_plain(host)) {
        return wrong(text, "malformed host or port");
    }
    uint64_t number = url->port;
    if (port.len > 0 && (!slice_to_u64(port, &number) || number == 0 || number > 65535)) {
        return wrong(text, "the port is not in [1, 65535]");
    }
    if (!path_is_plain(path) || (url->grpc && path.len > 0)) {
        return wrong(text, url->grpc ? "gRPC takes no path" : "malformed path");
    }
    url->port = (uint16_t)number;
    str_append_slice(&url->host, host);
    str_append_slice(&url->path, path);
    bool v6 = memchr(host.ptr, ':', host.len) != NULL;
    str_printf(&url->target, v6 ? "[%s]:%u" : "%s:%u", str_cstr(&url->host), url->port);
    str_printf(&url->text, "%s://%s", schemes[scheme].scheme, str_cstr(&url->target));
    NRD_TRY(str_status(&url->host));
    NRD_TRY(str_status(&url->path));
    NRD_TRY(str_status(&url->target));
    return str_status(&url->text);
}

struct nrd_status *client_url_parse(const char *text, struct client_url *url)
{
    *url = (struct client_url){0};
    return parse(text == NULL ? "" : text, url);
}

void client_url_fini(struct client_url *url)
{
    str_fini(&url->text);
    str_fini(&url->host);
    str_fini(&url->target);
    str_fini(&url->path);
}
