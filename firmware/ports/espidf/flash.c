/* SPDX-License-Identifier: Apache-2.0 */
/* mct/port_flash.h over the partition "mcutrain" (type data) of an ESP32's flash: partitions.csv
 * has one. Without it there is no store. Units of 16 bytes, as an encrypted partition asks for. */
#include <stddef.h>

#include "esp_partition.h"

#include "mct/port_flash.h"

#ifdef MCT_HAS_FLASH

enum { PAGE_BYTES = 4096, UNIT_BYTES = 16 };

static const esp_partition_t *partition(void)
{
    static const esp_partition_t *found;
    if (found == NULL) {
        found = esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY,
                                         "mcutrain");
    }
    return found;
}

mct_flash_geometry mct_port_flash_geometry(void)
{
    const uint32_t nbytes = partition() == NULL ? 0u : (uint32_t)partition()->size;
    const mct_flash_geometry geometry = {
        .page_bytes = PAGE_BYTES, .pages = nbytes / PAGE_BYTES, .unit_bytes = UNIT_BYTES};
    return geometry;
}

bool mct_port_flash_read(uint32_t at, void *to, uint32_t nbytes)
{
    return esp_partition_read(partition(), at, to, nbytes) == ESP_OK;
}

bool mct_port_flash_program(uint32_t at, const void *from, uint32_t nbytes)
{
    return esp_partition_write(partition(), at, from, nbytes) == ESP_OK;
}

bool mct_port_flash_erase(uint32_t page)
{
    return esp_partition_erase_range(partition(), page * PAGE_BYTES, PAGE_BYTES) == ESP_OK;
}

#endif
