// SPDX-License-Identifier: Apache-2.0
// Files of web/ that are part of the library.
#ifndef NEREID_PAGE_ASSET_H
#define NEREID_PAGE_ASSET_H

#include "base/slice.h"

// web/page.html. Static. Thread: any.
struct slice page_asset_html(void);

#endif
