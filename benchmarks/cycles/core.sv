// SPDX-License-Identifier: Apache-2.0
// An Ibex core with an instruction and a data port, and nothing else: no interrupt, no debugger.
module core
  import ibex_pkg::*;
#(
    parameter int Multiplier = 2,  // an rv32m_e
    parameter bit IsFast = 1'b0    // branches and write-back with hardware of their own
) (
    input logic clk_i,
    input logic rst_ni,
    output logic instr_req_o,
    input logic instr_rvalid_i,
    output logic [31:0] instr_addr_o,
    input logic [31:0] instr_rdata_i,
    output logic data_req_o,
    input logic data_rvalid_i,
    output logic data_we_o,
    output logic [3:0] data_be_o,
    output logic [31:0] data_addr_o,
    output logic [31:0] data_wdata_o,
    input logic [31:0] data_rdata_i
);
  ibex_top #(
      .RV32M(rv32m_e'(Multiplier)),
      .BranchTargetALU(IsFast),
      .WritebackStage(IsFast)
  ) ibex (
      .clk_i,
      .rst_ni,
      .test_en_i(1'b0),
      .ram_cfg_i('0),
      .hart_id_i('0),
      .boot_addr_i(32'h80000000),
      .instr_req_o,
      .instr_gnt_i(1'b1),
      .instr_rvalid_i,
      .instr_addr_o,
      .instr_rdata_i,
      .instr_rdata_intg_i('0),
      .instr_err_i(1'b0),
      .data_req_o,
      .data_gnt_i(1'b1),
      .data_rvalid_i,
      .data_we_o,
      .data_be_o,
      .data_addr_o,
      .data_wdata_o,
      .data_wdata_intg_o(),
      .data_rdata_i,
      .data_rdata_intg_i('0),
      .data_err_i(1'b0),
      .irq_software_i(1'b0),
      .irq_timer_i(1'b0),
      .irq_external_i(1'b0),
      .irq_fast_i('0),
      .irq_nm_i(1'b0),
      .scramble_key_valid_i('0),
      .scramble_key_i('0),
      .scramble_nonce_i('0),
      .scramble_req_o(),
      .debug_req_i(1'b0),
      .crash_dump_o(),
      .double_fault_seen_o(),
      .fetch_enable_i(IbexMuBiOn),
      .alert_minor_o(),
      .alert_major_internal_o(),
      .alert_major_bus_o(),
      .core_sleep_o(),
      .scan_rst_ni(1'b1)
  );
endmodule
