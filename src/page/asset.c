// SPDX-License-Identifier: Apache-2.0
// The page's text, taken in as it is when this file is assembled (in the repository's root).
#include "page/asset.h"

__asm__(".pushsection .rodata\n"
        ".hidden page_html\n"
        ".global page_html\n"
        "page_html:\n"
        ".incbin \"web/page.html\"\n"
        ".hidden page_html_end\n"
        ".global page_html_end\n"
        "page_html_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const char page_html[], page_html_end[];

struct slice page_asset_html(void)
{
    return (struct slice){page_html, (size_t)((uintptr_t)page_html_end - (uintptr_t)page_html)};
}
