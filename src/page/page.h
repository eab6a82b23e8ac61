// SPDX-License-Identifier: Apache-2.0
// Page: a live page for the browser that shows the newest picture and a table about it. Knows no graph.
//
//   GET /             the page (web/page.html)
//   GET /stream       multipart/x-mixed-replace: each picture as a JPEG, as fast as the viewer takes them
//   GET /frame.jpg, /frame.png    the newest picture
//   GET /stats.json   what page_set_stats() was given last
//
// Publishing hands a picture over and returns: it is encoded on a thread of the page's own, only while somebody looks, and a
// viewer that is slow misses pictures instead of delaying anybody. Start at page_create().
#ifndef NEREID_PAGE_PAGE_H
#define NEREID_PAGE_PAGE_H

#include "base/status.h"
#include "image/image.h"

struct page;
struct page_options {
    const char *address; // of this machine
    int port;            // 0: the system chooses
    int quality;         // of JPEGs, 1 to 100
    double max_rate;     // pictures a second that are encoded at most; 0: no limit
};

// "127.0.0.1:8080", "http://host:port", "[::1]:8080" or "8080" to its parts (127.0.0.1 without an address). `address` is room for
// at least PAGE_ADDRESS_MAX bytes. NRD_INVALID_ARG names the text. Thread: any.
#define PAGE_ADDRESS_MAX 256
NRD_MUST_USE struct nrd_status *page_parse_address(const char *text, char *address, int *port);

// Binds and serves. Errors: the listener's ("Socket '127.0.0.1:8080' already in use "). Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *page_create(const struct page_options *options, struct page **page);
int page_port(const struct page *page); // Thread: any
// Ends the viewers' streams, gives the last picture back, frees. NULL is fine. Thread: any but the page's own.
void page_destroy(struct page *page);
// How many streams are open. Thread: any.
unsigned page_viewers(const struct page *page);

// The newest picture: U8 of 1, 3 or 4 channels. `release(arg)` is called once, from this or the page's thread, when the picture is not needed any
// more. Does not wait for an encoder or a viewer. Thread: any, one at a time.
void page_publish(struct page *page, const struct image *picture, void (*release)(void *arg),
                  void *arg);
// A JSON object, copied. Out of memory keeps the one before. Thread: any.
void page_set_stats(struct page *page, struct slice json);

#endif
