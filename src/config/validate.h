// SPDX-License-Identifier: Apache-2.0
// The parts of config_validate that are files of their own. Each takes a configuration whose
// scheduler is the one that it checks. Thread: any.
#ifndef NEREID_CONFIG_VALIDATE_H
#define NEREID_CONFIG_VALIDATE_H

#include "config/model_config.h"

NRD_MUST_USE struct nrd_status *validate_dynamic(const Inference__ModelConfig *config);
NRD_MUST_USE struct nrd_status *validate_sequence(const Inference__ModelConfig *config);
NRD_MUST_USE struct nrd_status *validate_ensemble(const Inference__ModelConfig *config);

#endif
