/* SPDX-License-Identifier: Apache-2.0 */
/* A project's configuration: the build says where the console is. */
#define CONFIG_ESP_TASK_WDT_INIT 1
