// SPDX-License-Identifier: Apache-2.0
// URLs of servers. Thread: any.
#ifndef NEREID_CLIENT_URL_H
#define NEREID_CLIENT_URL_H

#include "base/str.h"

struct client_url {
    struct str text;   // in full: "http://localhost:8000", without the path
    struct str host;   // without brackets
    struct str target; // "localhost:8000", as Host and :authority have it
    struct str path;   // "" or "/gateway"; begins with '/', ends without
    uint16_t port;
    bool grpc;
    bool tls;
};

// What the header says at nrd_client_create(). NRD_INVALID_ARG names the URL and what is wrong. `url` is to be fini'd in any case.
NRD_MUST_USE struct nrd_status *client_url_parse(const char *text, struct client_url *url);
void client_url_fini(struct client_url *url);

#endif
