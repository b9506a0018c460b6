/* SPDX-License-Identifier: Apache-2.0 */
/* ESP-IDF Programming Guide, Partitions API. */
#ifndef ESP_PARTITION_H
#define ESP_PARTITION_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "esp_err.h"
#include "flash/chip.h"
#include "ports/nor/nor.h"

typedef enum { ESP_PARTITION_TYPE_DATA = 1 } esp_partition_type_t;
typedef enum { ESP_PARTITION_SUBTYPE_ANY = 0xff } esp_partition_subtype_t;

typedef struct {
    uint32_t address, size;
} esp_partition_t;

static inline const esp_partition_t *esp_partition_find_first(esp_partition_type_t type,
                                                              esp_partition_subtype_t subtype,
                                                              const char *label)
{
    static const esp_partition_t only = {0x3b0000u, 0x40000u};
    const bool is_it = type == ESP_PARTITION_TYPE_DATA && subtype == ESP_PARTITION_SUBTYPE_ANY &&
                       strcmp(label, "mcutrain") == 0;
    return is_it ? &only : NULL;
}

static inline esp_err_t esp_partition_read(const esp_partition_t *partition, size_t at, void *to,
                                           size_t nbytes)
{
    return nor_flash_read((uint32_t)at, to, (uint32_t)nbytes) && partition != NULL ? ESP_OK : -1;
}

static inline esp_err_t esp_partition_write(const esp_partition_t *partition, size_t at,
                                            const void *from, size_t nbytes)
{
    return chip_program(partition->address + at, from, (uint32_t)nbytes) ? ESP_OK : -1;
}

static inline esp_err_t esp_partition_erase_range(const esp_partition_t *partition, size_t at,
                                                  size_t nbytes)
{
    return nbytes == 4096u && chip_erase(partition->address + at) ? ESP_OK : -1;
}

#endif
