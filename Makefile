# SPDX-License-Identifier: Apache-2.0
# Nereid's build. `make` builds, `make demo` shows, `make test` proves; `make help` lists the rest.
#
# The build directory has the layout of an installed prefix ($(B)/bin, $(B)/lib, ...), so what is tested is what is
# installed. Each folder of src/ is one static library; libtritonserver.so, the program and the backends are linked
# from them. Sources are found by glob: a new file needs no line here.

ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
B ?= build$(if $(SAN),-$(SAN))
PREFIX ?= /usr/local
OPT ?= -O2 -g
WERROR ?= $(if $(CI),1)
CXX ?= g++
VERSION := 0.1.0
PYTHON ?= python3
comma := ,
define newline


endef

warnings := -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes \
            -Wcast-qual -Wwrite-strings -Wformat=2 -Wswitch-enum -Wno-missing-field-initializers $(if $(filter 1,$(WERROR)),-Werror)
san_asan := -fsanitize=address -fno-omit-frame-pointer
san_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
san_tsan := -fsanitize=thread
san := $(if $(SAN),$(san_$(SAN)))
cppflags := -D_GNU_SOURCE -DNEREID_VERSION='"$(VERSION)"' -Isrc -Iinclude -I. -isystem $(B)/gen -isystem $(B)/gen/proto
cxxflags := -std=gnu++17 $(OPT) -fPIC -fvisibility=hidden -pthread -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) $(san) $(CXXFLAGS)
cflags := -std=gnu17 $(OPT) -fPIC -fvisibility=hidden -fno-math-errno -pthread $(warnings) $(san) $(CFLAGS)
# AddressSanitizer finds __cxa_throw only if it is there at the start, and backends bring C++ libraries that throw.
asan_cxx := $(if $(filter asan,$(SAN)),-Wl$(comma)--push-state$(comma)--no-as-needed -l:libstdc++.so.6 -Wl$(comma)--pop-state)
ldflags := -pthread $(san) -Wl,-z,relro,-z,now $(asan_cxx) $(LDFLAGS)

# Libraries from the system, by folder that needs them.
sys_proto := -lprotobuf-c
sys_net := -levent_core -lnghttp2 -lssl -lcrypto -lz
sys_protocol := -lz
sys_client := -lz
sys_graph := -lyaml
sys_image := -ljpeg -lpng -lz
sys_base := -lm -ldl

# ---- folders -> static libraries ------------------------------------------------------------------------------------
folders := $(sort $(notdir $(patsubst %/,%,$(filter-out src/cli/,$(dir $(wildcard src/*/.))))))
protos := $(wildcard src/proto/*.proto)
gen_c := $(protos:src/proto/%.proto=$(B)/gen/proto/%.pb-c.c)
gen_h := $(gen_c:.c=.h)
src_of = $(sort $(wildcard src/$1/*.c src/$1/*/*.c))
obj_of = $(patsubst %.c,$(B)/obj/%.o,$(call src_of,$1))
lib_of = $(B)/a/lib$1.a

# The folders that each folder's tests and programs link, in link order.
deps_base :=
deps_tensor := base
deps_image := tensor base
deps_proto := base
deps_gpu := tensor base
deps_config := proto tensor base
deps_core := config gpu proto tensor base
deps_net := base
deps_page := net image tensor base
deps_protocol := net proto base
deps_client := net proto tensor base
deps_graph := client page net proto image gpu tensor base
present = $(filter $(folders),$1)
libs_for = $(foreach f,$(call present,$1 $(deps_$1)),$(call lib_of,$(f)))
sys_for = $(foreach f,$1 $(deps_$1),$(sys_$(f)))

.PHONY: all help
all: program library backends modules

help:
	@sed -n 's/^## //p' $(firstword $(MAKEFILE_LIST))

define folder_rules
$(call lib_of,$1): $(call obj_of,$1) $(if $(filter proto,$1),$(gen_c:.c=.o))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(q)$(AR) rcs $$@ $$^
.PHONY: lib-$1 unit-$1
lib-$1: $(call lib_of,$1)
endef
q := $(if $(V),,@)
$(foreach f,$(folders),$(eval $(call folder_rules,$(f))))

# ---- libtorch, the one library that a backend is built against ------------------------------------------------------
# TORCH=DIR names a PyTorch as its Python package has it (DIR/include, DIR/lib); without, Debian's libtorch-dev is taken.
# Where neither is, the pytorch backend is not built, and its tests are skipped by name.
TORCH ?=
torch_include := $(if $(TORCH),$(TORCH)/include,$(if $(wildcard /usr/include/torch/script.h),/usr/include))
torch_lib := $(if $(TORCH),$(TORCH)/lib,$(patsubst %/,%,$(dir $(firstword $(wildcard /usr/lib/*/libtorch_cpu.so /usr/lib/libtorch_cpu.so)))))
has_torch := $(if $(wildcard $(torch_lib)/libtorch_cpu.so),$(if $(torch_include),$(if $(shell command -v $(CXX)),1)))
# Python packages before 2.7 were built with the old form of std::string.
torch_abi := $(if $(TORCH),$(shell nm -D $(TORCH)/lib/libc10.so 2>/dev/null | grep -q cxx11 && echo 1 || echo 0),1)
torch_flags := -D_GLIBCXX_USE_CXX11_ABI=$(torch_abi) $(if $(TORCH),-isystem $(torch_include)) -isystem $(torch_include)/torch/csrc/api/include
torch_libs := -L$(torch_lib) -Wl,--no-as-needed -ltorch -ltorch_cpu -lc10 -Wl,--as-needed -lstdc++ $(if $(TORCH),-Wl$(comma)-rpath$(comma)$(abspath $(torch_lib)))
$(B)/obj/backends/pytorch/%.o $(B)/obj/tests/tools/torch_%.o: cxxflags += $(torch_flags)
torch_tool := $(if $(has_torch),$(B)/tests/tools/torch_models)
# What backends link beside the common library.
backend_libs_pytorch := $(torch_libs)

$(B)/obj/%.o: %.cc
	@mkdir -p $(@D)
	@echo "  CXX   $<"
	$(q)$(CXX) $(cppflags) $(cxxflags) -MMD -MP -c $< -o $@

# ---- TensorRT: a shim for each set of headers ------------------------------------------------------------------------
# TENSORRT_INCLUDE="DIR..." names folders of NvInfer.h and NvOnnxParser.h, of any releases from 8.5 on; those that tools/setup.sh has
# fetched are found. Each becomes libnereid_trt_<major>.<minor>.so, which needs no TensorRT to be linked. Without, the backend and
# `nereid build` say so when they are asked for a plan.
TENSORRT_INCLUDE ?=
trt_includes := $(if $(shell command -v $(CXX)),$(TENSORRT_INCLUDE) $(wildcard $(B)/frameworks/tensorrt/*/include))
trt_version = $(shell printf '\043include "NvInferVersion.h"\nNV_TENSORRT_MAJOR.NV_TENSORRT_MINOR\n' | $(CXX) -E -P -I$1 -x c++ - 2>/dev/null | tail -1 | tr -d ' ')
trt_releases :=
$(foreach d,$(trt_includes),$(eval v := $(call trt_version,$d))$(if $(filter $v,$(trt_releases)),,$(eval trt_releases += $v)$(eval trt_include_$v := $d)))
trt_shim_so = $(B)/lib/nereid/backends/tensorrt/libnereid_trt_$1.so
trt_shim_src := $(wildcard backends/tensorrt/shim/*.cc)
define trt_shim_rules
$(B)/obj/backends/tensorrt/shim/$1/%.o: backends/tensorrt/shim/%.cc
	@mkdir -p $$(@D)
	@echo "  CXX   $$< (TensorRT $1)"
	$$(q)$$(CXX) $$(cppflags) $$(cxxflags) -Wno-deprecated-declarations -isystem backends/tensorrt/shim/compat -isystem $$(trt_include_$1) -MMD -MP -c $$< -o $$@
$(call trt_shim_so,$1): $(patsubst backends/tensorrt/shim/%.cc,$(B)/obj/backends/tensorrt/shim/$1/%.o,$(trt_shim_src))
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	$$(q)$$(CXX) -shared $$(ldflags) -Wl,-soname,libnereid_trt_$1.so $(if $(SAN),,-Wl$(comma)--no-undefined) -o $$@ $$^
endef
$(foreach v,$(trt_releases),$(eval $(call trt_shim_rules,$v)))
.PHONY: trt-shims
trt-shims: $(foreach v,$(trt_releases),$(call trt_shim_so,$v))
trt_library_obj := $(B)/obj/backends/tensorrt/trt_library.o

# The core and what stands in for it export the Triton interfaces; everyone else imports them.
host_flags := -D_COMPILING_TRITONSERVER -D_COMPILING_TRITONBACKEND -D_COMPILING_TRITONCACHE -D_COMPILING_TRITONREPOAGENT
$(B)/obj/src/core/%.o: cppflags += $(host_flags)
$(B)/obj/tests/unit/backends/%.o: cppflags += $(host_flags)

$(B)/obj/src/page/asset.o: web/page.html
# Pixel loops are written for the vectoriser.
$(B)/obj/src/image/%.o: cflags += -O3 -fno-trapping-math

# The CUDA kernels travel as text inside the program and are compiled on the GPU's machine; where nvcc is found (NVCC= says no),
# as PTX too. units.h names what is compiled together; convert_A_B is convert.cu for a pair of types.
NVCC ?= $(shell command -v nvcc 2>/dev/null)
kernel_dir := src/gpu/kernels
kernel_units := $(shell grep -o '\bU([a-z0-9_]*)' $(kernel_dir)/units.h | tr -d 'U()')
kernel_texts := $(wildcard $(kernel_dir)/*.cu $(kernel_dir)/*.cuh) $(kernel_dir)/params.h
kernel_binaries := $(if $(NVCC),$(kernel_units:%=$(B)/gen/gpu/%.fatbin))
kernel_file = $(kernel_dir)/$(firstword $(subst _, ,$1)).cu
kernel_types = $(if $(filter convert_%,$1),-DNEREID_FROM=$(word 2,$(subst _, ,$1)) -DNEREID_TO=$(word 3,$(subst _, ,$1)))
$(B)/gen/gpu/%.fatbin: $(kernel_texts) $(kernel_dir)/units.h
	@mkdir -p $(@D)
	@echo "  NVCC  $*"
	$(q)$(NVCC) -std=c++17 -gencode=arch=compute_75,code=compute_75 -fatbin $(call kernel_types,$*) $(call kernel_file,$*) -o $@
$(B)/obj/$(kernel_dir)/units.o: $(kernel_texts) $(kernel_binaries)
$(B)/obj/$(kernel_dir)/units.o: cppflags += -DGPU_KERNEL_DIR='"$(kernel_dir)"' $(if $(NVCC),-DGPU_KERNEL_BINARIES='"$(B)/gen/gpu"')

$(B)/obj/%.o: %.c | $(gen_h)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(q)$(CC) $(cppflags) $(cflags) -MMD -MP -c $< -o $@

$(B)/gen/proto/%.pb-c.c $(B)/gen/proto/%.pb-c.h &: src/proto/%.proto
	@mkdir -p $(@D)
	@echo "  PROTO $<"
	$(q)protoc-c --c_out=$(B)/gen/proto --proto_path=src/proto $<
$(B)/gen/proto/%.o: $(B)/gen/proto/%.c | $(gen_h)
	$(q)$(CC) $(cppflags) $(filter-out $(warnings),$(cflags)) -w -c $< -o $@

# ---- libtritonserver.so, the program, the backends -----------------------------------------------------------------
core_so := $(B)/lib/libtritonserver.so
program := $(B)/bin/nereid
backend_names := $(filter-out common $(if $(has_torch),,pytorch) $(if $(wildcard backends/tensorrt/tensorrt.c),,tensorrt),$(notdir $(patsubst %/,%,$(dir $(wildcard backends/*/.)))))
backend_so = $(B)/lib/nereid/backends/$1/libtriton_$1.so
core_map := src/core/abi/libtritonserver.map

nereid_so := $(B)/lib/libnereid.so
nereid_folders := $(filter tensor client graph engine,$(folders))
nereid_map := packaging/libnereid.map

.PHONY: program library backends core
core: $(core_so)
library: $(nereid_so) $(B)/lib/cmake/nereid/nereid-config.cmake
# So that programs can be built against the build folder as against an installed one.
$(B)/lib/cmake/nereid/nereid-config.cmake: packaging/nereid-config.cmake.in packaging/nereid.pc.in packaging/tritonserver.pc.in
	@mkdir -p $(@D) $(B)/lib/pkgconfig
	@ln -sfn $(abspath include) $(B)/include
	@for p in tritonserver nereid; do sed 's|@VERSION@|$(VERSION)|' packaging/$$p.pc.in > $(B)/lib/pkgconfig/$$p.pc; done
	@sed 's|@VERSION@|$(VERSION)|' packaging/nereid-config.cmake.in > $@
program: $(program) $(B)/bin/tritonserver $(B)/bin/holoscan
backends: $(foreach b,$(backend_names),$(call backend_so,$(b))) trt-shims
	$(if $(has_torch),,@echo "  --    backends/pytorch is not built: no libtorch (Debian's libtorch-dev and g++, or TORCH=DIR)")

$(core_so): $(call libs_for,core) $(core_map)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(q)$(CC) -shared $(ldflags) -Wl,-soname,libtritonserver.so -Wl,--version-script=$(core_map) $(if $(SAN),,-Wl,--no-undefined) \
	  -o $@ -Wl,--whole-archive $(call lib_of,core) -Wl,--no-whole-archive $(filter-out %libcore.a,$(call libs_for,core)) $(call sys_for,core)

# The public C library: whole archives of the folders that state its functions, and what those need; the inference operator's core is a
# library beside it, which another one can replace.
nereid_deps := $(call present,$(sort $(foreach f,$(nereid_folders),$(deps_$(f)))))
$(nereid_so): $(foreach f,$(nereid_folders) $(nereid_deps),$(call lib_of,$(f))) $(nereid_map) $(core_so)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(q)$(CC) -shared $(ldflags) -Wl,-soname,libnereid.so -Wl,--version-script=$(nereid_map) $(if $(SAN),,-Wl,--no-undefined) \
	  -o $@ -Wl,--whole-archive $(foreach f,$(nereid_folders),$(call lib_of,$(f))) -Wl,--no-whole-archive \
	  -Wl,--start-group $(foreach f,$(filter-out $(nereid_folders),$(nereid_deps)),$(call lib_of,$(f))) -Wl,--end-group \
	  -L$(B)/lib -ltritonserver -Wl,-rpath,'$$ORIGIN' \
	  -Wl,--as-needed $(sort $(foreach f,$(nereid_folders) $(nereid_deps),$(sys_$(f))))

cli_obj := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard src/cli/*.c)))
cli_libs := $(call libs_for,protocol) $(call lib_of,gpu) $(call lib_of,tensor) $(call lib_of,base)
$(program): $(cli_obj) $(trt_library_obj) $(cli_libs) $(core_so) $(nereid_so)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(q)$(CC) $(ldflags) -o $@ $(cli_obj) $(trt_library_obj) $(cli_libs) -L$(B)/lib -ltritonserver -lnereid -Wl,-rpath,'$$ORIGIN/../lib' $(call sys_for,protocol)
$(B)/bin/tritonserver $(B)/bin/holoscan: $(program)
	@ln -sf nereid $@

common_obj := $(patsubst %.c,$(B)/obj/%.o,$(sort $(filter-out %/entry.c,$(wildcard backends/common/*.c))))
# The functions that a host calls: in backends only, as tests that are hosts have no table for them.
entry_obj := $(B)/obj/backends/common/entry.o
backend_map := backends/common/backend.map
define backend_rules
$(call backend_so,$1): $(patsubst %,$(B)/obj/%.o,$(basename $(sort $(wildcard backends/$1/*.c backends/$1/*.cc)))) $(entry_obj) $(common_obj) $(call libs_for,gpu) $(wildcard $(backend_map))
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	$$(q)$$(CC) -shared $$(ldflags) -Wl,-soname,libtriton_$1.so $$(if $$(wildcard $(backend_map)),-Wl$$(comma)--version-script=$(backend_map)) -Wl,--exclude-libs,ALL \
	  -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^) $$(backend_libs_$1) $$(sys_base)
.PHONY: backend-$1
backend-$1: $(call backend_so,$1)
endef
$(foreach b,$(backend_names),$(eval $(call backend_rules,$(b))))

# Backends that only tests load.
test_backend_so := $(B)/tests/backends/gpu_echo/libtriton_gpu_echo.so
$(test_backend_so): $(B)/obj/tests/support/gpu_echo/gpu_echo.o $(common_obj) $(call libs_for,gpu) $(backend_map)
	@mkdir -p $(@D)
	$(q)$(CC) -shared $(ldflags) -Wl,-soname,libtriton_gpu_echo.so -Wl,--version-script=$(backend_map) -Wl,--exclude-libs,ALL \
	  -o $@ $(filter %.o %.a,$^) $(sys_base)

# A TensorRT that is none, with its parser and its shim: what finds it by these names uses it.
fake_trt_so := $(B)/tests/fake_trt/libnvinfer.so.8
$(fake_trt_so): $(B)/obj/tests/support/fake_trt/fake_trt.o
	@mkdir -p $(@D)
	$(q)$(CC) -shared $(ldflags) -Wl,-soname,libnvinfer.so.8 -o $@ $^ -ldl
	@for name in libnvonnxparser.so.8 libnvinfer_plugin.so.8 libnereid_trt_8.5.so; do ln -sfn libnvinfer.so.8 $(@D)/$$name; done

probe_so := $(B)/tests/backends/probe/libtriton_probe.so
$(probe_so): $(B)/obj/tests/support/probe_backend/probe.o
	@mkdir -p $(@D)
	$(q)$(CC) -shared $(ldflags) -Wl,-soname,libtriton_probe.so -o $@ $<

# ---- modules ---------------------------------------------------------------------------------------------------------
# src/graph/ops/<name>/: lib/nereid/operators/libnereid_<name>.so, opened by the operators of libnereid.so that need it. Built where the
# packages that it is on are, and named where they are not.
module_pkgs_video := libavformat libavcodec libavutil libswscale
module_so = $(B)/lib/nereid/operators/libnereid_$1.so
module_all := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard src/graph/ops/*/.)))))
module_names := $(foreach m,$(module_all),$(if $(module_pkgs_$m),$(if $(shell pkg-config --exists $(module_pkgs_$m) && echo 1),$m),$m))
module_skipped := $(filter-out $(module_names),$(module_all))
.PHONY: modules
modules: $(foreach m,$(module_names),$(call module_so,$m))
	$(foreach m,$(module_skipped),@echo "  SKIP  libnereid_$m.so: one of $(module_pkgs_$m) is not here"$(newline))
define module_rules
$(call module_so,$1): $(patsubst %.c,$(B)/obj/%.o,$(wildcard src/graph/ops/$1/*.c)) $(call lib_of,base) $(nereid_so)
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	$$(q)$$(CC) -shared $$(ldflags) -Wl,-soname,libnereid_$1.so -Wl,--exclude-libs,ALL $$(if $$(SAN),,-Wl$$(comma)--no-undefined) -o $$@ \
	  $$(filter %.o,$$^) $$(call lib_of,base) -L$(B)/lib -lnereid -Wl,-rpath,'$$$$ORIGIN/../..' $$(module_libs_$1) $$(sys_base)
endef
module_libs = $(if $(module_pkgs_$1),$(shell pkg-config --libs $(module_pkgs_$1)))
$(foreach m,$(module_names),$(eval module_libs_$m := $(call module_libs,$m)) $(eval $(call module_rules,$m)))

# ---- tests ----------------------------------------------------------------------------------------------------------
# tests/unit/<folder>/test_*.c: one program each, linked with that folder's library and those below it.
unit_folders := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard tests/unit/*/.)))))
unit_of = $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/$1/test_*.c)))
unit_extra_protocol = $(core_so)
# Tests of backends are hosts: they open the built backends, which resolve the interfaces in the test program.
unit_extra_backends = $(common_obj) $(B)/obj/backends/tensorflow/tf_proto.o $(B)/obj/backends/pytorch/torch_spec.o $(B)/obj/backends/onnxruntime/onnx_gpu_options.o $(fake_cuda_lib) | $(torch_tool) $(fake_ort_so) $(fake_cuda_so) $(foreach b,$(backend_names),$(call backend_so,$(b)))
unit_ldflags_backends := -rdynamic
deps_backends := gpu tensor base
# tests/support/fake_cuda: a pretended CUDA driver, linked into tests of GPU code; and the same as libraries that a program
# finds by LD_LIBRARY_PATH=$(B)/tests/fake (NVML under its own name is the same file: both see the same GPUs).
fake_cuda_src := $(sort $(wildcard tests/support/fake_cuda/*.c))
fake_cuda_lib := $(B)/a/libfakecuda.a
$(fake_cuda_lib): $(patsubst %.c,$(B)/obj/%.o,$(filter-out %/fake_env.c,$(fake_cuda_src)))
	@mkdir -p $(@D)
	@rm -f $@
	$(q)$(AR) rcs $@ $^
fake_cuda_so := $(B)/tests/fake/libcuda.so.1
host_kernels_obj := $(B)/obj/tests/support/host_kernels/host_kernels.o
$(fake_cuda_so): $(patsubst %.c,$(B)/obj/%.o,$(fake_cuda_src)) $(host_kernels_obj) $(call libs_for,gpu)
	@mkdir -p $(@D)
	$(q)$(CC) -shared $(ldflags) -Wl,-soname,libcuda.so.1 -o $@ $^ $(sys_base)
	@ln -sfn libcuda.so.1 $(@D)/libnvidia-ml.so.1
# tests/support/fake_ort: an ONNX Runtime with a CUDA provider on those GPUs, in front of the real one.
fake_ort_so := $(B)/tests/fake_ort/libonnxruntime.so
$(fake_ort_so): $(B)/obj/tests/support/fake_ort/fake_ort.o $(call libs_for,base)
	@mkdir -p $(@D)
	$(q)$(CC) -shared $(ldflags) -Wl,-soname,libonnxruntime.so -o $@ $^ $(sys_base)
	@ln -sfn libonnxruntime.so $(@D)/libonnxruntime_providers_cuda.so
.PHONY: fake-cuda
fake-cuda: $(fake_cuda_so) $(fake_ort_so)
# tests/support/lossy_backend: a backend that breaks its GPU when it is asked to; tests put it into the model's directory.
lossy_so := $(B)/tests/backends/lossy/libtriton_lossy.so
$(lossy_so): $(B)/obj/tests/support/lossy_backend/lossy.o $(common_obj) $(call libs_for,gpu) $(backend_map)
	@mkdir -p $(@D)
	$(q)$(CC) -shared $(ldflags) -Wl,-soname,libtriton_lossy.so -Wl,--version-script=$(backend_map) -Wl,--exclude-libs,ALL \
	  -o $@ $(filter %.o,$^) $(filter %.a,$^) $(sys_base)
# The kernels' text compiled for the processor, and their checks against src/image (without its encoders, which need libraries).
$(B)/obj/tests/support/%.o: tests/support/%.cc
	@mkdir -p $(@D)
	@echo "  CXX   $<"
	$(q)$(CXX) $(cppflags) -std=c++17 $(OPT) -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti -fno-strict-aliasing -ffp-contract=off \
	  -Wall -Wextra -Wno-unknown-pragmas $(san) -MMD -MP -c $< -o $@
kernel_check_obj := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/support/kernel_checks/*.c)) \
                    $(patsubst %,$(B)/obj/src/image/%.o,blend classes convert demosaic resize yuv)
unit_extra_gpu = $(kernel_check_obj) $(host_kernels_obj) $(fake_cuda_lib)
unit_extra_core = $(fake_cuda_lib)
unit_extra_graph = $(fake_cuda_lib) $(core_so) | $(foreach m,$(module_names),$(call module_so,$m)) $(call backend_so,identity)
unit_ldflags_graph := -rdynamic

define unit_rules
$(B)/tests/unit/$1/%: $(B)/obj/tests/unit/$1/%.o $(call libs_for,$1) $(unit_extra_$1)
	@mkdir -p $$(@D)
	$$(q)$$(CC) $$(ldflags) $$(unit_ldflags_$1) -o $$@ $$(filter %.o,$$^) $$(filter %.a %.so,$$^) -Wl,-rpath,$(abspath $(B))/lib $(call sys_for,$1) -lcmocka
unit-$1: $(call unit_of,$1)
	$$(q)$$(PYTHON) tools/run_tests.py --unit $$^
endef
$(foreach f,$(unit_folders),$(eval $(call unit_rules,$(f))))
unit_programs := $(foreach f,$(unit_folders),$(call unit_of,$(f)))

# tests/gpu: one program of tests that need a real GPU, without cmocka; and, where cuda.h is, our ABI against it.
gpu_check := $(B)/tests/gpu/check_gpu
gpu_check_obj := $(patsubst %.c,$(B)/obj/%.o,$(filter-out %/check_abi.c %/graph_check.c,$(sort $(wildcard tests/gpu/*.c)))) $(kernel_check_obj)
$(gpu_check): $(gpu_check_obj) $(call libs_for,gpu)
	@mkdir -p $(@D)
	$(q)$(CC) $(ldflags) -o $@ $^ $(sys_base)
# Graphs on a GPU: a program of its own, since it needs what src/graph needs; but machines with GPUs have few libraries.
graph_check := $(B)/tests/gpu/check_graph
$(graph_check): $(B)/obj/tests/gpu/graph_check.o $(call libs_for,graph) $(core_so)
	@mkdir -p $(@D)
	$(q)$(CC) $(ldflags) -o $@ $(filter %.o %.a,$^) -L$(B)/lib -ltritonserver -Wl,-rpath,'$$ORIGIN/../../lib' \
	  -Wl,-Bstatic $(filter-out $(sys_base),$(call sys_for,graph)) -Wl,-Bdynamic $(sys_base)
cuda_home ?= $(patsubst %/bin/,%,$(dir $(NVCC)))
cuda_include := $(firstword $(patsubst %/cuda.h,%,$(wildcard $(if $(NVCC),$(cuda_home)/include/cuda.h) /usr/local/cuda/include/cuda.h)))
.PHONY: gpu-programs gpu-abi
gpu-programs: $(gpu_check) $(graph_check) $(if $(cuda_include),gpu-abi)
gpu-abi: tests/gpu/check_abi.c
	$(q)$(CC) $(cppflags) -std=gnu17 -isystem $(cuda_include) -fsyntax-only $<

# tests/tools/*.c: programs that tests start (front ends on another core, config printers).
tool_programs := $(patsubst tests/tools/%.c,$(B)/tests/tools/%,$(wildcard tests/tools/*.c)) $(torch_tool)
$(B)/tests/tools/torch_models: $(B)/obj/tests/tools/torch_models.o
	@mkdir -p $(@D)
	$(q)$(CXX) $(ldflags) -o $@ $< $(torch_libs)
$(B)/tests/tools/%: $(B)/obj/tests/tools/%.o $(call libs_for,protocol) $(call libs_for,core) $(core_so)
	@mkdir -p $(@D)
	$(q)$(CC) $(ldflags) -o $@ $< $(call libs_for,protocol) $(call lib_of,config) $(call libs_for,config) -L$(B)/lib -ltritonserver -Wl,-rpath,$(abspath $(B))/lib $(call sys_for,protocol) $(sys_proto) $(sys_base)

# Those of the public library use nothing else.
# It holds memory of a GPU itself.
$(B)/tests/tools/event_client: $(B)/obj/tests/tools/event_client.o $(call libs_for,gpu) $(core_so)
	@mkdir -p $(@D)
	$(q)$(CC) $(ldflags) -o $@ $< $(call libs_for,gpu) -L$(B)/lib -ltritonserver -Wl,-rpath,$(abspath $(B))/lib $(call sys_for,gpu) $(sys_base)
$(B)/tests/tools/client_%: $(B)/obj/tests/tools/client_%.o $(nereid_so)
	@mkdir -p $(@D)
	$(q)$(CC) $(ldflags) -o $@ $< -L$(B)/lib -lnereid -Wl,-rpath,$(abspath $(B))/lib

# tests/fuzz/fuzz_*.c: LLVMFuzzerTestOneInput; here linked with a main that replays the corpus, under clang for real fuzzing.
fuzz_names := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_libs := $(foreach f,$(call present,protocol graph page client net image gpu config proto tensor base),$(call lib_of,$(f)))
fuzz_sys = $(sys_graph) $(sys_image) $(sys_protocol) $(sys_net) $(sys_proto) $(sys_base)
$(B)/tests/fuzz/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(B)/obj/tests/fuzz/replay.o $(fuzz_libs) $(core_so)
	@mkdir -p $(@D)
	$(q)$(CC) $(ldflags) -o $@ $(filter %.o,$^) $(filter %.a,$^) -L$(B)/lib -ltritonserver -Wl,-rpath,$(abspath $(B))/lib $(fuzz_sys)
$(B)/tests/fuzz/fuzz_tf_proto: $(B)/obj/backends/tensorflow/tf_proto.o
$(B)/tests/fuzz/fuzz_torch_spec: $(B)/obj/backends/pytorch/torch_spec.o
$(B)/tests/fuzz/fuzz_place_record: $(B)/obj/src/core/place/record.o
fuzz_programs := $(fuzz_names:%=$(B)/tests/fuzz/%)

# bench/*.c: one program each; the core is linked in for those that measure it from inside.
bench_programs := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))
$(B)/bench/%: $(B)/obj/bench/%.o $(call libs_for,core)
	@mkdir -p $(@D)
	$(q)$(CC) $(ldflags) -o $@ $< $(call lib_of,core) $(call libs_for,core) $(sys_proto) $(sys_base) -lnghttp2
# These are programs of a user: on the public library alone.
$(B)/bench/client: $(B)/obj/bench/client.o $(nereid_so)
	@mkdir -p $(@D)
	$(q)$(CC) $(ldflags) -o $@ $< -L$(B)/lib -lnereid -Wl,-rpath,'$$ORIGIN/../lib'
$(B)/bench/graph_%: $(B)/obj/bench/graph_%.o $(nereid_so)
	@mkdir -p $(@D)
	$(q)$(CC) $(ldflags) -o $@ $< -L$(B)/lib -lnereid -Wl,-rpath,'$$ORIGIN/../lib'
# A plan without a server: on the GPU and the shim alone.
$(B)/bench/trt_bare: $(B)/obj/bench/trt_bare.o $(trt_library_obj) $(call libs_for,gpu)
	@mkdir -p $(@D)
	$(q)$(CC) $(ldflags) -o $@ $^ $(sys_base)
.PHONY: bench-programs
bench-programs: $(bench_programs)

# Nothing made on the way is removed: make would make it anew each time.
.SECONDARY:
.PHONY: unit test-tools test-programs
test-tools: $(tool_programs)
unit: $(unit_programs)
	$(q)$(PYTHON) tools/run_tests.py --unit $(unit_programs)
test-programs: $(unit_programs) $(tool_programs) $(fuzz_programs) $(fake_cuda_so) $(fake_ort_so) $(fake_trt_so) $(test_backend_so) $(lossy_so) $(probe_so)

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

# ---- what people call -----------------------------------------------------------------------------------------------
## make                  build everything into build/ (laid out like an installed prefix)
## make demo [STAY=1]    install what is missing, build, serve models/, send pictures through all three models
## make test             install what is missing, build, run every test that needs no GPU
## make check            format, lint, include directions, headers alone, and the tests
## make check-asan | check-ubsan | check-tsan    the tests under a sanitizer
## make check-gpu        the tests that need a real GPU; says what it skipped (also check-gpu-memcheck; ONLY="pytorch check_gpu")
## make gpu-bundle DEST=DIR    what check-gpu needs, to carry to a machine with a GPU
## make check-fuzz       each fuzz target for SECONDS=20 (clang)
## make schema           docs/schema/ anew, after a change of an operator's parameters
## make bench            figures beside the peer server, in one run
## make bench-graph      streaming graphs beside Holoscan, in one run
## make install PREFIX=DIR
venv_python := $(B)/venv/bin/python
.PHONY: setup-build setup-demo setup-test demo test tests check lint bench bench-graph install
setup-build setup-demo setup-test: setup-%:
	@tools/setup.sh $* $(B)

demo: setup-demo
	@$(MAKE) --no-print-directory all
	@$(venv_python) tools/demo/demo.py --prefix $(B) $(if $(STAY),--stay)

# With TESTS=... only these pytest paths; with PYTEST="..." further options for pytest.
TESTS ?= tests
test: setup-test
	@$(MAKE) --no-print-directory -j2 all test-programs WERROR=$(WERROR)
	@$(MAKE) --no-print-directory tests
tests:
	@NEREID_PREFIX=$(abspath $(B)) NEREID_PEER=$(abspath $(B))/peer $(venv_python) tools/run_tests.py \
	  --unit $(unit_programs) --fuzz $(fuzz_programs) --pytest $(TESTS) --pytest-args="$(PYTEST)" --report $(B)/pytest.xml

# The checked build borrows the Python environment, the peer and ONNX Runtime of the plain one, whose backends and core are
# also what the peer's programs load: a sanitizer's runtime has to be in the program itself.
PLAIN ?= build
san_b = $(if $(filter file,$(origin B)),build-$*,$(B))
slowdown_asan := 3
slowdown_ubsan := 2
slowdown_tsan := 8
supp := $(CURDIR)/tests/sanitizers
check-asan check-ubsan check-tsan: check-%:
	@tools/setup.sh test $(PLAIN)
	@$(MAKE) --no-print-directory -j2 B=$(PLAIN) SAN= core backends test-tools
	@mkdir -p $(san_b)/lib/nereid
	@ln -sfn $(abspath $(PLAIN))/venv $(san_b)/venv
	@ln -sfn $(abspath $(PLAIN))/peer $(san_b)/peer
	@ln -sfn $(abspath $(PLAIN))/peer-holoscan $(san_b)/peer-holoscan
	@ln -sfn $(abspath $(PLAIN))/lib/nereid/onnxruntime $(san_b)/lib/nereid/onnxruntime
	@ln -sfn $(abspath $(PLAIN))/lib/nereid/tensorflow $(san_b)/lib/nereid/tensorflow
	@ln -sfn $(abspath $(PLAIN))/frameworks $(san_b)/frameworks
	@$(MAKE) --no-print-directory -j2 B=$(san_b) SAN=$* all test-programs
	@ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 LSAN_OPTIONS=suppressions=$(supp)/lsan.supp:print_suppressions=0 \
	  TSAN_OPTIONS=suppressions=$(supp)/tsan.supp UBSAN_OPTIONS=print_stacktrace=1 \
	  NEREID_SANITIZED=$* NEREID_SLOWDOWN=$(slowdown_$*) NEREID_PLAIN_PREFIX=$(abspath $(PLAIN)) \
	  $(MAKE) --no-print-directory B=$(san_b) SAN=$* tests

# Exit status 77 (make: an error) where there is no GPU: nothing was checked then, and that must not look like a pass.
.PHONY: check-gpu check-gpu-memcheck gpu-bundle
gpu_python = $(firstword $(wildcard $(venv_python)) $(PYTHON))
check-gpu: gpu-programs all
	@$(gpu_python) tests/gpu/run.py --prefix $(B) $(ONLY)
check-gpu-memcheck: gpu-programs all
	@$(gpu_python) tests/gpu/run.py --prefix $(B) --memcheck $(if $(LIMIT),--limit $(LIMIT)) $(ONLY)
# What the two need, in DEST, to be carried to a machine with a GPU: there, python3 tests/gpu/run.py --prefix DEST
gpu-bundle: gpu-programs all
	@$(PYTHON) tests/gpu/bundle.py $(B) $(DEST)

SECONDS ?= 20
check-fuzz:
	@tools/fuzz.sh $(SECONDS) $(fuzz_names)

lint:
	@tools/setup.sh lint
	@tools/lint.sh
check: lint test

.PHONY: schema
schema: program
	@$(program) run --schema > docs/schema/nereid-app.schema.json

bench: setup-test
	@$(MAKE) --no-print-directory -j2 all bench-programs
	@$(venv_python) bench/bench.py --prefix $(B) --peer $(B)/peer $(BENCH)

bench-graph: setup-test
	@$(MAKE) --no-print-directory -j2 all bench-programs
	@$(venv_python) bench/graph.py --prefix $(B) --peer $(B)/peer-holoscan $(BENCH)

# Relocatable: the program finds its libraries and backends beside itself.
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/lib/cmake/nereid $(DESTDIR)$(PREFIX)/include/triton/core \
	  $(DESTDIR)$(PREFIX)/include/nereid
	install -m 755 $(program) $(DESTDIR)$(PREFIX)/bin/nereid
	ln -sf nereid $(DESTDIR)$(PREFIX)/bin/tritonserver
	ln -sf nereid $(DESTDIR)$(PREFIX)/bin/holoscan
	install -m 755 $(core_so) $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(nereid_so) $(DESTDIR)$(PREFIX)/lib/
	install -m 644 include/nereid/*.h $(DESTDIR)$(PREFIX)/include/nereid/
	install -m 644 include/triton/core/*.h $(DESTDIR)$(PREFIX)/include/triton/core/
	for b in $(backend_names); do \
	  install -D -m 755 $(B)/lib/nereid/backends/$$b/libtriton_$$b.so $(DESTDIR)$(PREFIX)/lib/nereid/backends/$$b/libtriton_$$b.so; done
	for m in $(module_names); do \
	  install -D -m 755 $(B)/lib/nereid/operators/libnereid_$$m.so $(DESTDIR)$(PREFIX)/lib/nereid/operators/libnereid_$$m.so; done
	install -d $(DESTDIR)$(PREFIX)/share/nereid/pictures
	install -m 644 examples/pictures/*.png $(DESTDIR)$(PREFIX)/share/nereid/pictures/
	if [ -d $(B)/lib/nereid/onnxruntime ]; then \
	  install -D -m 755 $(B)/lib/nereid/onnxruntime/libonnxruntime.so.1 $(DESTDIR)$(PREFIX)/lib/nereid/onnxruntime/libonnxruntime.so.1; fi
	install -m 644 $(B)/lib/pkgconfig/*.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/
	install -m 644 $(B)/lib/cmake/nereid/nereid-config.cmake $(DESTDIR)$(PREFIX)/lib/cmake/nereid/

.PHONY: clean
clean:
	rm -rf $(B)
