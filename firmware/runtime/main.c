/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/serve.h"

int main(void)
{
    mct_serve_begin();
    for (;;) {
        mct_serve();
    }
}
